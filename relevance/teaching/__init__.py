"""How a teacher is made: what it reads and aims at, its network, its training, its checkpoint."""
