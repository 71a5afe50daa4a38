"""What users can ask of a region, one module for each noun.

Each command decides on the state as it is and hands a draft to `region.writer.Writer`, which
stores it or has it decided anew. Nothing here needs the leader.
"""
