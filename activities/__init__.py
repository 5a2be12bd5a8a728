"""Everything that touches the world: one class per concern, dependencies injected."""
