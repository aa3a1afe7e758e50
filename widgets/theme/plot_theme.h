// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "core/model/tensor_role.h"

#include <QColor>
#include <QPalette>

#include <array>

/// The colours every plot uses, derived from a palette. Hues are those of Okabe and Ito (2008), told apart by
/// colour-blind people; where a dark background needs it they are lightened.
struct PlotTheme {
    bool dark = false;
    QColor background, text, mutedText, axis, grid;
    QColor accent;      ///< the data, the selection
    QColor accentFill;  ///< the accent, translucent: areas under lines
    QColor original;    ///< what was there before quantization, always a neutral grey
    QColor originalFill;
    QColor warning;    ///< outliers, limits exceeded
    QColor reference;  ///< a yardstick such as the normal distribution
    /// For things compared side by side, e.g. pinned schemes; never the accent.
    std::array<QColor, 6> series;

    static PlotTheme of(const QPalette& palette);
    bool operator==(const PlotTheme&) const = default;
};

/// Attention blue, feed-forward orange, embeddings green, head pink, the rest grey; within a family by lightness.
QColor roleColor(quantloupe::TensorRole role, bool dark);
/// As the interface names a role, translated: "Query", "LM head".
QString roleText(quantloupe::TensorRole role);
/// The order in which roles are listed and stacked.
std::array<quantloupe::TensorRole, 16> rolesInOrder();
