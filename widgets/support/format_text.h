// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QLocale>
#include <QString>

#include <cstdint>
#include <span>

/// Numbers as the interface writes them, in the digits and separators of a locale (the default one unless given).
/// Needs QtCore only. NaN is "–" (nothing measured), infinities are "∞" and "−∞"; units follow a no-break space.
namespace format {

/// What stands for "no value".
QString none();

/// Significant digits, scientific outside 1e-4 … 1e6: "0.01235", "1.2e−7".
QString number(double value, int significantDigits = 4, const QLocale& locale = QLocale());
/// "0.0181 ± 0.0012"; the value alone where its standard error is not known (not positive).
QString plusMinus(double value, double standardError, const QLocale& locale = QLocale());
/// With group separators: "1,234,567".
QString integer(std::uint64_t value, const QLocale& locale = QLocale());
/// Three significant digits and K, M, B or T, as the field counts parameters: "8.03 B", "260 K", "512".
QString count(std::uint64_t value, const QLocale& locale = QLocale());
/// Binary prefixes: "4.1 GiB", "15 B".
QString bytes(std::uint64_t value, const QLocale& locale = QLocale());
/// The same for differences: "+1.2 MiB", "−3.9 GiB", "0 B".
QString signedBytes(std::int64_t value, const QLocale& locale = QLocale());
/// Decimal SI prefixes for any unit, three significant digits: si(3.1e9, "B/s") is "3.1 GB/s", si(2.5e-3, "J") "2.5
/// mJ".
QString si(double value, const QString& unit, const QLocale& locale = QLocale());
/// "24.13 dB" without trailing decoration.
QString decibels(double value, const QLocale& locale = QLocale());
/// "4.31 bpw".
QString bitsPerWeight(double value, const QLocale& locale = QLocale());
/// Of a ratio: percent(0.0384) is "3.84 %"; tiny non-zero ratios never show as 0.
QString percent(double ratio, const QLocale& locale = QLocale());
/// Signed difference with a true minus: "+0.42", "−3".
QString difference(double value, int significantDigits = 3, const QLocale& locale = QLocale());
/// "4096 × 11008"; "scalar" where there is no extent.
QString shape(std::span<const std::uint64_t> extents);
/// "0:41", "12:05", "1:02:03".
QString duration(double seconds);

}  // namespace format
