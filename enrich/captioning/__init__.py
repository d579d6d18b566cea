"""What a captioner is made of: pictures made small, forward passes, words; BLIP's own, and any other model's."""
