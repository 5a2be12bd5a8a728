"""A day of people at work, played on the real parts: who does what, what the system answers, and what follows."""
