"""Running the study's jobs on HTCondor: what they ask for, what they do there, and who looks after them here.

HTCondor and Snakemake's executor plugin submit, match, transfer and retry; these modules only say what the
rules need in HTCondor's words (`site`), keep a job's ledger on the access point while it runs elsewhere
(`job`), look after the queue when a run starts and ends (`controller`), and tell how far a study is
(`status`).
"""
