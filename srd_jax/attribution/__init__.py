"""Attribution methods: functions from a model, images and targets to maps, under one protocol."""
