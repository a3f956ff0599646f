-- +goose Up
-- Profiles are of users, who may be in several tenants; memberships are the tenants'.
SELECT isolate_tenants('memberships');
