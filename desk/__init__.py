"""The acts of people: what operations, agents and supervisors do, as functions that a console can call too."""
