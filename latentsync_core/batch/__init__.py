"""Many jobs in one run: a list of jobs, a worklist over workers, and what keeps a job from being done twice."""
