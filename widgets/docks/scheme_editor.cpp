// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/docks/scheme_editor.h"

#include "core/analysis/analyze.h"
#include "core/schemes/format_traits.h"

#include <QComboBox>
#include <QHBoxLayout>

#include <algorithm>
#include <array>
#include <iterator>

using quantloupe::Format;
using quantloupe::Granularity;
using quantloupe::RangeEstimator;
using quantloupe::Symmetry;

namespace {

constexpr std::array<std::uint32_t, 6> groupSizes {16, 32, 64, 128, 256, 512};
constexpr std::array symmetries {
    Symmetry::Symmetric, Symmetry::SymmetricFull, Symmetry::Asymmetric, Symmetry::AsymmetricFloat};

QString text(std::string_view word)
{
    return QString::fromUtf8(word.data(), static_cast<qsizetype>(word.size()));
}

QString granularityText(const Granularity& granularity)
{
    switch (granularity.kind) {
    case Granularity::Kind::Tensor: return SchemeEditor::tr("per tensor");
    case Granularity::Kind::Channel: return SchemeEditor::tr("per channel");
    case Granularity::Kind::Group: return SchemeEditor::tr("group %1").arg(granularity.columns);
    case Granularity::Kind::Own: return SchemeEditor::tr("own block");
    default: return text(wordOf(granularity));
    }
}

QString rangeText(const RangeEstimator& range)
{
    switch (range.kind) {
    case RangeEstimator::Kind::MinMax: return SchemeEditor::tr("min–max");
    case RangeEstimator::Kind::Mse: return SchemeEditor::tr("least MSE");
    default: return text(wordOf(range));
    }
}

QVector<Granularity> offeredGranularities()
{
    QVector<Granularity> offered {{Granularity::Kind::Tensor, 0, 0}, {Granularity::Kind::Channel, 0, 0}};
    for (const auto size : groupSizes)
        offered << Granularity {Granularity::Kind::Group, 0, size};
    return offered;
}

QVector<RangeEstimator> offeredRanges()
{
    return {{RangeEstimator::Kind::MinMax, 100.0}, {RangeEstimator::Kind::Percentile, 99.9},
        {RangeEstimator::Kind::Percentile, 99.99}, {RangeEstimator::Kind::Mse, 100.0}};
}

/// Index of the value among the offered ones; a value of the notation that is not offered gets an entry of its own.
template<class T, class ToText>
void showValue(QComboBox* combo, QVector<T> offered, const T& value, bool enabled, const ToText& toText)
{
    if (enabled && !offered.contains(value))
        offered << value;
    combo->clear();
    for (const auto& entry : std::as_const(offered))
        combo->addItem(toText(entry), text(wordOf(entry)));
    combo->setEnabled(enabled);
    combo->setCurrentIndex(enabled ? static_cast<int>(offered.indexOf(value)) : -1);
}

QComboBox* makeCombo(QWidget* parent, const QString& name, const QString& toolTip)
{
    auto* combo = new QComboBox(parent);
    combo->setAccessibleName(name);
    combo->setToolTip(toolTip);
    combo->setSizeAdjustPolicy(QComboBox::AdjustToContents);
    return combo;
}

}  // namespace

SchemeEditor::SchemeEditor(QWidget* parent)
    : QWidget(parent)
    , m_format(makeCombo(this, tr("Number format"), tr("The numbers that weights become.")))
    , m_granularity(makeCombo(
          this, tr("Granularity"), tr("Which weights share one scale: fewer per scale lower the error and cost bits.")))
    , m_symmetry(makeCombo(this, tr("Symmetry"),
          tr("Where zero lies: sym and symf are centred, asym has an integer zero point, asymf a floating minimum.")))
    , m_range(makeCombo(this, tr("Range"),
          tr("How the range of a scale is chosen: all values, a percentile, or what gives the least squared error.")))
{
    m_format->setObjectName(QStringLiteral("format"));
    m_granularity->setObjectName(QStringLiteral("granularity"));
    m_symmetry->setObjectName(QStringLiteral("symmetry"));
    m_range->setObjectName(QStringLiteral("range"));
    for (const auto format : quantloupe::allFormats())
        if (quantloupe::requireBuilt(quantloupe::Scheme::of(format)))
            m_format->addItem(text(nameOf(format)), static_cast<int>(format));
    auto* layout = new QHBoxLayout(this);
    layout->setContentsMargins(0, 0, 0, 0);
    layout->setSpacing(4);
    for (auto* combo : {m_format, m_granularity, m_symmetry, m_range})
        layout->addWidget(combo);
    setFocusProxy(m_format);
    connect(m_format, &QComboBox::activated, this, &SchemeEditor::onFormat);
    for (auto* combo : {m_granularity, m_symmetry, m_range})
        connect(combo, &QComboBox::activated, this, &SchemeEditor::onPart);
    show();
}

void SchemeEditor::setScheme(const quantloupe::Scheme& scheme)
{
    if (scheme == m_scheme)
        return;
    m_scheme = scheme;
    show();
}

void SchemeEditor::show()
{
    const auto family = quantloupe::traitsOf(m_scheme.format).family;
    auto format = m_format->findData(static_cast<int>(m_scheme.format));
    if (format < 0) {
        m_format->addItem(text(nameOf(m_scheme.format)), static_cast<int>(m_scheme.format));
        format = m_format->count() - 1;
    }
    m_format->setCurrentIndex(format);
    showValue(m_granularity, offeredGranularities(), m_scheme.granularity, takesGranularity(family), granularityText);
    showValue(m_symmetry, QVector<Symmetry>(symmetries.begin(), symmetries.end()), m_scheme.symmetry,
        takesSymmetry(family), [](Symmetry symmetry) { return text(wordOf(symmetry)); });
    showValue(m_range, offeredRanges(), m_scheme.range, takesRange(family), rangeText);
}

void SchemeEditor::onFormat()
{
    const auto old = m_scheme;
    m_scheme = quantloupe::Scheme::of(static_cast<Format>(m_format->currentData().toInt()));
    // What the hand chose before stays where both formats take it.
    const auto before = quantloupe::traitsOf(old.format).family;
    const auto now = quantloupe::traitsOf(m_scheme.format).family;
    if (takesGranularity(before) && takesGranularity(now))
        m_scheme.granularity = old.granularity;
    if (takesSymmetry(before) && takesSymmetry(now))
        m_scheme.symmetry = old.symmetry;
    if (takesRange(before) && takesRange(now))
        m_scheme.range = old.range;
    if (!quantloupe::requireBuilt(m_scheme))
        m_scheme = quantloupe::Scheme::of(m_scheme.format);
    show();
    Q_EMIT edited(m_scheme);
}

void SchemeEditor::onPart()
{
    // Composed in the notation and parsed: the parser is the one place that knows what goes together.
    auto composed = std::string(nameOf(m_scheme.format));
    for (const auto* combo : {m_granularity, m_symmetry, m_range})
        if (combo->isEnabled() && combo->currentIndex() >= 0)
            composed.append(":").append(combo->currentData().toString().toStdString());
    const auto parsed = quantloupe::Scheme::parse(composed);
    if (parsed) {
        auto scheme = *parsed;
        scheme.scales = m_scheme.scales;
        scheme.algorithms = m_scheme.algorithms;
        m_scheme = scheme;
    }
    show();
    Q_EMIT edited(m_scheme);
}
