"""What is drawn of runs and sweeps, whoever draws it: a page (`cosim.study.html`), or matplotlib for a paper."""
