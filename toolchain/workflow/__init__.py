"""What a run is given: the sample sheet, the samples, the aligner and the input of the state machine."""
