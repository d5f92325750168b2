// Package cgroup finds the hierarchies of control groups that this process sees.
package cgroup
