"""One adapter per way of reaching people, all behind the protocol in ``base``."""
