// Package services decides what tenant-service does.
package services

import (
	"context"
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/tenant-service/internal/models"
	"github.com/pyairtable/pyairtable/tenant-service/internal/repository"
)

// ErrTooMany is answered when a tenant has all the items that it may have.
var ErrTooMany = errs.New(errs.Conflict, "too_many_items", "The tenant has as many items as it may have.")

// Items are the tenants' items.
type Items struct {
	repo *repository.Repository
	max  int
	now  func() time.Time
}

// NewItems allows each tenant max items.
func NewItems(repo *repository.Repository, max int, now func() time.Time) *Items {
	return &Items{repo, max, now}
}

// Create makes an item for who's tenant. It returns ErrTooMany at the limit.
func (s *Items) Create(ctx context.Context, who auth.Principal, name string) (models.Item, error) {
	it := models.NewItem(who.TenantID, name, s.now())
	created := tenantapi.ItemCreated.New(ctx, it.Tenant, it.ID.String(), 1, tenantapi.ItemCreatedData{ItemID: it.ID.String(), Name: it.Name})
	err := s.repo.CreateItem(ctx, it, created, func(count int) error {
		if count >= s.max {
			return ErrTooMany
		}
		return nil
	})
	return it, err
}
