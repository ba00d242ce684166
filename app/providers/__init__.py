"""How attempts are made: the wire, egress, and one lane a module."""
