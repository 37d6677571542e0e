"""Two runs beside each other, and many over time; they compare and never judge."""
