"""The demo: small networks trained on handwritten digits, and small benchmarks measured on them."""
