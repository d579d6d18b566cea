"""How a student is made: labelled pairs a piece at a time, packed on disk, fed well shuffled, resumed exactly."""
