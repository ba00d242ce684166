"""What lives as long as the process: caches, quotas, stores."""
