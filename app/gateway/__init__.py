"""One chat or search turn from start to finish; holds no state."""
