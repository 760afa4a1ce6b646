"""What everything stands on: errors, names, tables, reasons, hashes, isolation, devices, locks, the digits."""
