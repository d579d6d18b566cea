"""The models that those which were trained are compared with."""
