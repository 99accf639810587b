// Package machine is the source that watches the program's own machine and
// clients: it samples disk, memory, CPU and what the clients say of themselves,
// and appends an alert of kind "pipeline" before something hurts. It knows
// nothing of what the clients handle.
//
// Memory and CPU are those of Linux's /proc (proc_meminfo(5), proc_stat(5)).
// One alert is raised when a condition begins, a further revision of it when it
// becomes worse, and nothing while it stays.
package machine
