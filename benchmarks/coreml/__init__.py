"""Core ML files of many networks: are they right, and what do others make of the same networks."""
