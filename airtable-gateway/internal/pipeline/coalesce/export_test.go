package coalesce

// Desks is how many bases have calls that wait or are under way.
func (c *Coalescer) Desks() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.desks)
}
