// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/study/error_metric.h"

#include <QString>

/// "SQNR", "Relative error", …: translated.
QString metricTitle(quantloupe::ErrorMetric metric);
/// The title with its unit where it has one: "SQNR (dB)".
QString metricAxis(quantloupe::ErrorMetric metric);
/// What it is, whether higher is better, when to distrust it: one or two sentences.
QString metricExplanation(quantloupe::ErrorMetric metric);
/// "24.1 dB", "0.00312".
QString metricValue(quantloupe::ErrorMetric metric, double value);
/// The same, as short as a cell of a heat map needs it.
QString metricCell(quantloupe::ErrorMetric metric, double value);
/// Errors span decades and want a logarithmic scale; decibels are one already.
bool isLogarithmic(quantloupe::ErrorMetric metric);

/// Whether a figure has a place on that axis.
bool drawable(quantloupe::ErrorMetric metric, double value);
