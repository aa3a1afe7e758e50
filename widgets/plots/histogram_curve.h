// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/statistics/histogram.h"

#include <QString>
#include <QVector>

#include <vector>

/// A histogram under a name, drawn over others for comparison: a pinned scheme.
struct NamedHistogram {
    QString name;
    quantloupe::Histogram histogram;
};

/// How high a bin is drawn.
enum class BinHeight {
    Count,    ///< values in the bin; comparable where the bins are the same
    Density,  ///< share of all values per unit of the axis; comparable always
};

/// Points of a step line (QCPGraph::lsStepCenter) that begins and ends on the floor.
struct HistogramCurve {
    QVector<double> keys;    ///< bin centres, one more at each end
    QVector<double> values;  ///< never below `floor`: empty bins stay off a logarithmic axis without a gap
    double largest = 0.0;
    double smallest = 0.0;  ///< of the bins that hold anything; 0 when none does
};

HistogramCurve curveOf(const quantloupe::Histogram& histogram, BinHeight height, double floor);
/// Width that bins are drawn with: the bin width, or a small one where all values are equal.
double drawnBinWidth(const quantloupe::Histogram& histogram);
/// Index of the bin at a place on the axis; −1 outside.
int binAt(const quantloupe::Histogram& histogram, double place);
