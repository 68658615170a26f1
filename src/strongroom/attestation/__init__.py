"""Attestation: evidence of what a process is, made by the hardware that it runs on.

evidence        what is sent, and to what it is bound; verifies nothing
interface       Attester (makes evidence), Verifier (judges it), Claims and Factors (the outcome)
sev_snp         AMD SEV-SNP: the report, its signature, AMD's certificates
tdx             Intel TDX, through the library dcap-qvl
verification    the verifier for each kind of evidence
tsm             the attester: Linux's interface to both
rules           what an owner demands; `judge` compares claims with it
configurations  evidence in a server's key configuration
development     stands in where there is no such hardware; proves nothing, and says so
"""
