// Package kv is the capability kv: a store of keys and values that outlives cells,
// one per tenant, in one bbolt file.
//
// Each tenant has a bucket of its own inside the file and no request names a bucket,
// so tenants cannot meet. How many keys and bytes a tenant holds is kept in its
// bucket and changes in the same transaction as the data: quotas are exact, also
// after a crash. A write that was answered is on the disk. Writes of different
// cells that come at the same time share a transaction.
package kv
