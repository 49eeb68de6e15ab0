"""Make the golden data of the parity tests out of the shared reference folder and packages."""
