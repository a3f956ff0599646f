package idempotency

import "time"

// RenewEvery makes holders renew their locks so often.
func (s *Store) RenewEvery(d time.Duration) { s.renew = d }
