-- +goose Up
ALTER TABLE members ADD COLUMN suspended_at timestamptz;
