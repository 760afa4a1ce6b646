"""What all stands on: errors, names, tables, reasons, hashes, isolation, devices, locks, the digits."""
