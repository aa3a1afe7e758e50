// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/pages/section.h"

#include "widgets/theme/fonts.h"

#include <QEvent>
#include <QHBoxLayout>
#include <QLabel>
#include <QVBoxLayout>

Section::Section(const QString& title, const QString& explanation, QWidget* content, const QList<QWidget*>& controls,
    QWidget* parent)
    : QWidget(parent)
    , m_heading(new QLabel(title))
{
    m_heading->setToolTip(explanation);
    m_heading->setWhatsThis(explanation);
    m_heading->setBuddy(content);
    styleHeading();

    auto* line = new QHBoxLayout;
    line->setSpacing(6);
    line->addWidget(m_heading);
    line->addStretch();
    for (auto* control : controls)
        line->addWidget(control);
    auto* layout = new QVBoxLayout(this);
    layout->setContentsMargins({});
    layout->setSpacing(4);
    layout->addLayout(line);
    layout->addWidget(content, 1);
}

void Section::setTitle(const QString& title)
{
    m_heading->setText(title);
}

void Section::changeEvent(QEvent* event)
{
    if (event->type() == QEvent::FontChange)
        styleHeading();
    QWidget::changeEvent(event);
}

void Section::styleHeading()
{
    m_heading->setFont(scaledFont(font(), 1.0, true));
}

QWidget* emptyState(const QString& text, QWidget* parent)
{
    auto* label = new QLabel(text, parent);
    label->setAlignment(Qt::AlignCenter);
    label->setWordWrap(true);
    label->setForegroundRole(QPalette::PlaceholderText);
    label->setMargin(24);
    return label;
}
