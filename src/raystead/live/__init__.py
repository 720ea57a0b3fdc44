"""Pure: what runs. Kubernetes' JSON as pods and groups, each with the maker that keeps its pods.

Everybody above (plan, explain, doctor, status, list, the waits) asks a group or its maker; nobody else names
a kind of object, so that a group need not be a Deployment.
"""
