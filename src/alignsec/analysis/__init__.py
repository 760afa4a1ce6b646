"""Alignment against robustness: tables side by side, parents recomputed, correlations over families."""
