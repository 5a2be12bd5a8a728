"""Real providers: the official SDKs over HTTP against a stateful fake."""
