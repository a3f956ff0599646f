package repository

import (
	"context"
	"crypto/ed25519"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/auth-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// Keys returns the signing keys in the order in which they sign.
func (r *Repository) Keys(ctx context.Context) (models.Keyring, error) { return r.keys(ctx, r.pool) }

// RotateKeys lets change decide, with no other replica deciding at the same
// time, which key to add (unless its id is "") and which to forget. It returns
// the keys afterwards.
func (r *Repository) RotateKeys(ctx context.Context, change func(models.Keyring) (add models.Key, forget []string)) (models.Keyring, error) {
	var ring models.Keyring
	err := postgres.InTx(ctx, r.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return fmt.Errorf("lock signing keys: %w", err)
		}
		before, err := r.keys(ctx, tx)
		if err != nil {
			return err
		}
		add, forget := change(before)
		if _, err := tx.Exec(ctx, `DELETE FROM signing_keys WHERE kid = ANY($1)`, forget); err != nil {
			return fmt.Errorf("forget signing keys: %w", err)
		}
		if add.ID != "" {
			sealed, err := r.box.Seal(add.Private.Seed(), keyContext(add.ID))
			if err != nil {
				return fmt.Errorf("seal signing key: %w", err)
			}
			_, err = tx.Exec(ctx, `INSERT INTO signing_keys (kid, private, active_from) VALUES ($1, $2, $3)`, add.ID, sealed, add.ActiveFrom)
			if err != nil {
				return fmt.Errorf("insert signing key: %w", err)
			}
		}
		ring, err = r.keys(ctx, tx)
		return err
	})
	return ring, err
}

func (r *Repository) keys(ctx context.Context, q postgres.Querier) (models.Keyring, error) {
	rows, err := q.Query(ctx, `SELECT kid, private, active_from FROM signing_keys ORDER BY active_from`)
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	ring, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (models.Key, error) {
		var k models.Key
		var sealed []byte
		if err := row.Scan(&k.ID, &sealed, &k.ActiveFrom); err != nil {
			return k, err
		}
		seed, err := r.box.Open(sealed, keyContext(k.ID))
		if err != nil {
			return k, fmt.Errorf("key %s: %w", k.ID, err)
		}
		k.Private = ed25519.NewKeyFromSeed(seed)
		return k, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	return ring, nil
}

func keyContext(kid string) []byte { return []byte("signing_key/" + kid) }
