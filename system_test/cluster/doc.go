// Package clustertest runs clusters of real nodes: processes of the built program, which are cut
// off, stopped and killed while clients call them. What came of it is judged by package fabrictest.
//
// The program is $PYISOLATE_NODE, or is built.
package clustertest
