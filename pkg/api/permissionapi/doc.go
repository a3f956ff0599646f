// Package permissionapi says what permission-service offers: who may do what on
// which object.
//
// Objects form a tree, tenant > workspace > base > table. A role on an object holds
// for all below it. Names of objects and subjects are "type:id":
//
//	tenant:<uuid>  workspace:<uuid>  base:<tenant uuid>/<app…>  table:<tenant uuid>/<app…>/<tbl…>
//	user:<uuid>    group:<uuid>      service accounts are users
//
// Actions are asked about every object, Administration about the tenant alone: custom
// roles are made of both.
//
// Airtable's ids are unique within a tenant only, which is why they carry it.
package permissionapi
