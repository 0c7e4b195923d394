"""What a network computes, whatever the format it is written in; and when two are the same."""
