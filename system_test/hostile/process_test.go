package hostile

var processFamily = family{
	name:  "process",
	title: "Process control",
	probes: []probe{
		{name: "start_process", what: "start a program, by every function that does"},
		{name: "replace_process", what: "replace the process by another program"},
		{name: "fork", what: "fork, by every function that does"},
		{name: "multiprocessing", what: "multiprocessing by each start method"},
		{name: "fork_exec", what: "_posixsubprocess.fork_exec, through the module that has it"},
		{name: "kill", what: "signal other processes"},
		{name: "signal_by_descriptor", what: "have the kernel send a signal by F_SETOWN and F_SETSIG"},
		{name: "exit", what: "end the process"},
		{name: "identity", what: "become another user, another session, another root"},
		{name: "scheduling", what: "take the processor from the others by priority and affinity"},
		{name: "limits", what: "raise one's limits, lower those of others"},
		{name: "remote_debug", what: "run code in another Python process"},
	},
}
