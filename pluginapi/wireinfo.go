package pluginapi

import (
	"maps"
	"slices"

	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

func encodeInfo(info Info) *handlerpb.DescribeResponse {
	w := &handlerpb.DescribeResponse{
		Name: validText(info.Name), Version: validText(info.Version), Doc: validText(info.Doc), Sdk: "go/1",
		Config: encodeAttributes(info.Config), DeclaresConfig: info.Config != nil,
	}
	if sharedClock {
		w.Capabilities = []string{handlerpb.CapabilityStartAt}
	}
	for _, t := range info.TaskTypes {
		w.TaskTypes = append(w.TaskTypes, validText(t))
	}
	for _, t := range slices.Sorted(maps.Keys(info.Payloads)) {
		w.Payloads = append(w.Payloads, &handlerpb.PayloadSchema{Type: validText(t), Fields: encodeAttributes(info.Payloads[t])})
	}
	return w
}

// StartsAt tells whether a plugin obeys the instants of [EncodeTask]. It is for hosts.
func StartsAt(w *handlerpb.DescribeResponse) bool {
	return sharedClock && slices.Contains(w.Capabilities, handlerpb.CapabilityStartAt)
}

// DecodeInfo turns what a plugin says of itself into an Info. It is for hosts.
func DecodeInfo(w *handlerpb.DescribeResponse) Info {
	info := Info{Name: w.Name, Version: w.Version, Doc: w.Doc, TaskTypes: w.TaskTypes}
	if w.DeclaresConfig {
		info.Config = decodeAttributes(w.Config)
	}
	for _, p := range w.Payloads {
		if info.Payloads == nil {
			info.Payloads = make(map[string][]Attribute)
		}
		info.Payloads[p.Type] = decodeAttributes(p.Fields)
	}
	return info
}

func encodeAttributes(list []Attribute) []*handlerpb.Attribute {
	out := make([]*handlerpb.Attribute, len(list))
	for i, a := range list {
		out[i] = &handlerpb.Attribute{
			Name: validText(a.Name), Type: a.Type, Required: a.Required,
			Default: validText(a.Default), Doc: validText(a.Doc), Sensitive: a.Sensitive,
		}
	}
	return out
}

func decodeAttributes(list []*handlerpb.Attribute) []Attribute {
	out := make([]Attribute, len(list))
	for i, a := range list {
		out[i] = Attribute{Name: a.Name, Type: a.Type, Required: a.Required, Default: a.Default, Doc: a.Doc, Sensitive: a.Sensitive}
	}
	return out
}
