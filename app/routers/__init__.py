"""The HTTP routes: parse, authenticate, limit, delegate."""
