// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/algorithms/combinations.h"
#include "core/schemes/scheme.h"

#include <QString>
#include <QVector>

/// Number formats of one kind, as menus and the help group them.
struct FormatGroup {
    QString title;
    QString explanation;  ///< one sentence
    QVector<quantloupe::Format> formats;
};

/// Every format that can be computed, in groups.
QVector<FormatGroup> formatGroups();

// What each part of a scheme could be instead, all other parts staying as they are: only what makes sense together.
// Empty where the format takes no such part.
QVector<quantloupe::Granularity> granularitiesFor(const quantloupe::Scheme& scheme);
QVector<quantloupe::Symmetry> symmetriesFor(const quantloupe::Scheme& scheme);
QVector<quantloupe::RangeEstimator> rangesFor(const quantloupe::Scheme& scheme);
QVector<quantloupe::ScaleStorage> scaleStoragesFor(const quantloupe::Scheme& scheme);

/// Another format, with every part of the old scheme that both take and that makes sense there.
quantloupe::Scheme withFormat(const quantloupe::Scheme& old, quantloupe::Format format);

/// Algorithms that need nothing but the weights, where there is calibration those that go by it, and those the scheme
/// has already; in the order of work.
QVector<quantloupe::Algorithm> algorithmsFor(
    const quantloupe::Scheme& scheme, quantloupe::Calibration calibration = quantloupe::Calibration::Absent);
/// The scheme with the algorithm added, in its place in the order of work, or taken away.
quantloupe::Scheme toggled(const quantloupe::Scheme& scheme, quantloupe::Algorithm algorithm);
/// Why a scheme makes no sense, as a clause; empty if it does.
QString refusalOf(
    const quantloupe::Scheme& scheme, quantloupe::Calibration calibration = quantloupe::Calibration::Absent);

// Texts for people.
QString nameInWords(quantloupe::Algorithm algorithm);
QString explanationOf(quantloupe::Algorithm algorithm);
QString explanationOf(quantloupe::Format format);  ///< bits per weight with all defaults, and its block
QString textOf(const quantloupe::Granularity& granularity);
QString textOf(quantloupe::Symmetry symmetry);
QString textOf(const quantloupe::RangeEstimator& range);
QString textOf(quantloupe::ScaleStorage storage);
QString wordText(std::string_view word);
