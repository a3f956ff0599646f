package httpx

import "github.com/gin-gonic/gin"

import "github.com/pyairtable/pyairtable/pkg/api"

const idempotencyHeader = "Idempotency-Key"

// Idempotency remembers answers.
type Idempotency any

func (a *API) idempotent(api.Spec) gin.HandlerFunc { return func(c *gin.Context) { c.Next() } }
