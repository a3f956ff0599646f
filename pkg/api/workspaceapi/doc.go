// Package workspaceapi says what workspace-service offers.
package workspaceapi
