"""What runs on the host beside the hardware: the driver, over any way to reach registers and streams."""
