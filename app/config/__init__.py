"""Settings from the environment, and gateway.yaml as frozen, typed values."""
