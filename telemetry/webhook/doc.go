// Package webhook posts events to URLs.
package webhook
